"""A data set's set-up: its spawn tags, its questions, and the models that are to answer them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from benchpool.ao.ids import encode_id
from benchpool.ao.tags import Tags
from benchpool.errors import HandlerError, NotAuthorized
from benchpool.evaluation.controls import controlled
from benchpool.evaluation.protocol import Protocol
from benchpool.evaluation.sample import Sample
from benchpool.process import Message, handler
from benchpool.winston import parse_quantity
from processes.dataset.base import DatasetBase, Share
from processes.dataset.evaluations import ModelRow
from processes.tag_values import duration_ms


class DatasetRegistration(DatasetBase):
    """Takes questions and models up, and says what it has."""

    def on_spawn(self, message: Message) -> None:
        """Make the tables and read the spawn tags."""
        self._create_tables()
        self._configure(message.tags)

    @handler("Init", owner_only=True)
    def init(self, message: Message) -> None:
        """Read the same tags again; those that are missing stay as they are.

        Once pools may count on them, how questions are asked cannot change any more.
        """
        self._check_fixed(message.tags)
        self._create_tables()
        self._configure(message.tags)
        self.reply(message, "Init-Response", {"Samples": self._records().sample_count()})

    @handler("Load-Data", owner_only=True)
    def load_data(self, message: Message) -> None:
        """Append questions, from Data or from a data transaction; all of them or none.

        They are for pools to come. With `Salt` they reveal what was sealed.
        """
        data_id, salt = message.tags.get("DataTxID"), message.tags.get("Salt")
        if salt and self.edition > 1 and self.state.samples:
            raise HandlerError("only a data set without questions can reveal what was sealed")
        if data_id:
            data = self.weavedrive.read(data_id)
            count = self._load(data_id, data)
            self.state.data_tx_id = data_id
        else:
            data = message.data.encode() if isinstance(message.data, str) else message.data
            count = self._load(encode_id(sha256(data).digest()), data, name="Data")
        if salt and self.edition > 1:
            self.state.seal = self._questions_seal(salt, data)
        self._announce()
        total = self._records().sample_count()
        self.reply(message, "Load-Data-Response", {"Samples": count, "Total": total})

    @handler("Info")
    def describe_to(self, message: Message) -> None:
        """Describe the data set; or take the fees from the herder's answer to our own Info."""
        if self.state.router and message.sender == self.state.router:
            # Never answered: two processes that describe themselves to each other would not end.
            self._take_fees(message)
            return
        facts = {
            "Name": self.card.name,
            "Samples": self._records().sample_count(),
            "Chance": self.card.chance,
            "Protocols": self._protocols(),
            "LlamaRouter": self.state.router,
            "DataTxID": self.state.data_tx_id,
            "Models": len(self._records().models()),
        }
        if self.edition > 1:
            facts["Samples-SHA-256"] = self._samples_hash()
        self.reply(message, "Info", facts | self._facts())

    @handler("Get-Models")
    def get_models(self, message: Message) -> None:
        """List the models and how far they are."""
        rows = self._records()
        listed = []
        for model in rows.models():
            counts = rows.counts(model, told=not self._is_told_all(message))
            shown = model._asdict()
            del shown["id"]
            shown |= {
                "evaluated": counts.evaluated,
                "unscored": counts.unscored,
                "total": counts.total,
                "correct": counts.correct,
            }
            listed.append(shown)
        self.reply(message, "Get-Models-Response", data=listed)

    @handler("Benchmark", requires=("Model",))
    def benchmark(self, message: Message) -> None:
        """Take a model up; again, its rows that were given up get another chance."""
        if message.sender not in (self.state.benchmark, self.owner):
            raise NotAuthorized(
                f"Benchmark is for the owner and for the Benchmark process, not {message.sender}"
            )
        tags = message.tags
        protocol = str(self._protocol(tags))
        rows = self._records()
        model = rows.find_model(tags["Model"], protocol)
        if model is None:
            name = tags.get("Name") or tags["Model"]
            model = rows.add_model(name, tags["Model"], tags.get("Weights"), protocol)
            if self.edition == 1:
                self._add_rows(model, rows.samples())
        else:
            if tags.get("Weights") not in ("", model.data_tx):
                if self.edition == 1 or message.sender != self.state.benchmark:
                    raise HandlerError(f"model {model.inference_process} has other weights here")
                # It knows them of the router; whoever named others, on purpose or not, did not.
                model = rows.reset(model, tags["Weights"])
            if self.edition > 1:
                rows.untell(model)
            rows.revive(model)
        if self.edition > 1:
            self._enter(message, model)
        total = rows.counts(model).total
        self.reply(
            message,
            "Benchmark-Response",
            {"Model": model.inference_process, "Protocol": protocol, "Total": total},
        )

    def _enter(self, message: Message, model: ModelRow) -> None:
        """Let a model answer a pool's questions; only a Benchmark speaks for pools."""
        state, tags, rows = self.state, message.tags, self._records()
        pool, funds, most = "", 0, rows.sample_count()
        if message.sender == state.benchmark:
            pool, funds = tags.get("Pool"), parse_quantity(tags.get("Funds"))
            known = state.samples.get(tags.get("Samples-SHA-256"))
            if known is None:
                raise HandlerError("there never were such questions here")
            most = known
            if tags.get("Runtime"):
                state.runtimes[model.inference_process] = tags["Runtime"]
        share = state.shares.get(pool)
        if share is None:
            state.shares[pool] = share = Share(funds=funds, samples=most, models=[])
        share.funds, share.samples = funds, most
        if model.id not in share.models:
            share.models.append(model.id)
        present = rows.counts(model).total
        if present < most:
            self._add_rows(model, rows.samples(after=present, most=most))

    def _create_tables(self) -> None:
        made = self._statements().tables
        self.database.create(made.metadata)
        if self.edition > 1:
            self.database.create(made.told.metadata)

    def _check_fixed(self, tags: Tags) -> None:
        """Refuse to change what pools were made with, or by what models were asked.

        Else a router could say what is right before a pool is made, and leave.

        Raises: HandlerError.
        """
        state = self.state
        if self.edition == 1 or not (state.router and state.samples):
            return
        if not (state.benchmark or self._records().models()):
            return
        fixed = {
            "LlamaRouter": state.router,
            "Herder": "true" if state.herder else "false",
            "WrappedAR": state.token,
            "SystemPrompt": state.system_prompt,
            "Benchmark": state.benchmark,
        }
        for name, value in fixed.items():
            told = tags.get(name, value)
            if not value and name in ("Benchmark", "WrappedAR"):
                continue  # it has not been needed yet
            if (told.lower() if name == "Herder" else told) != value:
                raise HandlerError(
                    f"{name} is fixed, for models were asked or pools made with it: spawn another"
                    " data set"
                )

    def _configure(self, tags: Tags) -> None:
        state = self.state
        if "LlamaRouter" in tags:
            state.router = tags["LlamaRouter"]
            state.base_fee = None
        if "Herder" in tags:
            state.herder = tags["Herder"].lower() == "true"
        state.token = tags.get("WrappedAR", state.token)
        state.benchmark = tags.get("Benchmark", state.benchmark)
        state.system_prompt = tags.get("SystemPrompt", state.system_prompt)
        state.lease_ms = duration_ms(tags, "Lease", default=state.lease_ms)
        if state.herder and not state.token:
            raise HandlerError("a herder is paid in wrapped AR: name the token with tag WrappedAR")
        data_id = tags.get("DataTxID")
        if data_id and data_id not in state.loaded:
            self._load(data_id, self.weavedrive.read(data_id))
            state.data_tx_id = data_id
        if state.herder and state.router and state.base_fee is None:
            self._ask_fees()
        self._announce()

    def _announce(self) -> None:
        if self.state.benchmark and self._is_known():
            facts = {
                "Name": self.card.name,
                "Samples": self._records().sample_count(),
                "Chance": self.card.chance,
                "Protocols": self._protocols(),
                "LlamaRouter": self.state.router,
            }
            if self.edition > 1:
                facts |= {"Owner": self.owner, "Samples-SHA-256": self._samples_hash()}
            if self.state.seal:
                facts["Seal"] = self.state.seal
            self.send(self.state.benchmark, "Register-Dataset", facts | self._limits())

    def _load(self, data_id: str, data: bytes, *, name: str = "") -> int:
        if data_id in self.state.loaded:
            raise HandlerError(f"{name or data_id} is loaded already")
        samples = self.load_samples(data, name or data_id)
        self.check_samples(samples, name or data_id)
        rows = self._records()
        numbered = rows.add_samples(samples)
        if self.edition == 1:
            for model in rows.models():
                self._add_rows(model, numbered)
        else:
            self.state.samples[self._questions_hash(data)] = rows.sample_count()
        self.state.loaded[data_id] = len(samples)
        return len(samples)

    def _add_rows(self, model: ModelRow, questions: Sequence[tuple[int, Sample]]) -> None:
        protocol = Protocol.parse(model.protocol)
        asked = [(number, controlled(sample, protocol.control)) for number, sample in questions]
        prompts = [self.kept_prompt(sample, protocol.method) for _, sample in asked]
        self._records().add_rows(model, asked, prompts)
