"""Answer requests with a model that evaluates tokens: what to evaluate, and what it means.

Knows no llama.cpp: a ``Model`` decodes nodes into logits, here they become log-likelihoods and
text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchpool.inference.engine import (
    Answer,
    ChoicesAnswer,
    ChoicesRequest,
    CompleteRequest,
    EngineStats,
    GenerateRequest,
    Generation,
    LogLikelihood,
    Request,
    Unanswered,
)
from benchpool.inference.llama.chat import ChatTemplate, TemplateRefusedError
from benchpool.inference.llama.cloze import Node, TokenPair, plan, split_pair
from benchpool.inference.llama.packing import (
    CHOICES_TOKENS,
    MAX_SEQUENCES,
    TURNS_TOKENS,
    Bounds,
    TokenItem,
    batches,
    common_prefix,
    fillers,
    pieces,
    shared_prefix,
)
from benchpool.inference.llama.writer import Writer

MAX_CHOICES = 256
_FILLER = MAX_SEQUENCES - 1
_PREFIX = MAX_SEQUENCES - 2
_SEQUENCES = MAX_SEQUENCES - 2
_NON_FINITE = "model gave non-finite logits"

Numbered = tuple[int, Answer]
_Stream = Iterator[list[Numbered]]
_Answer = Callable[[Sequence[TokenItem], int], list[Numbered]]


class DecodingModel(Protocol):
    """Evaluates tokens on a cache of sequences."""

    context_tokens: int
    start: list[int]
    """Tokens that the model wants in front of every text."""
    empty_prompt: list[int]
    """What stands for an empty prompt in a model that wants none."""
    chat: ChatTemplate
    packs: bool
    """Whether several requests may share a decode without changing each other's bits."""
    piece_rows: int
    """Predictions that one decode can give."""
    shares_prompt: bool
    """Whether the choices of a request may share the evaluation of their prompt."""

    def tokens(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokenize; ``parse_special`` lets the text name control tokens."""

    def piece(self, token: int) -> bytes:
        """The text of a token; control tokens have none."""

    def ends(self, token: int) -> bool:
        """Whether the model says with this token that it is done."""

    def decode(self, nodes: Sequence[Node]) -> NDArray[np.float32]:
        """Evaluate nodes; [n_wanted][n_vocabulary] logits, valid until the next call."""

    def clear(self, *, data: bool = False) -> None:
        """Empty the cache; with ``data``, overwrite what it held."""

    def copy(self, source: int, target: int) -> None:
        """Let a sequence begin with what another one holds."""

    def remove(self, sequence: int, *, keep: int = 0) -> None:
        """Take a sequence out of the cache, but for its first tokens."""


class Evaluator:
    """Answers requests with one model, in the order that suits the model."""

    def __init__(self, model: DecodingModel) -> None:
        self._model = model
        self._filled = 0
        self._held: list[int] = []
        """What the cache holds of requests to come: a prefix that the last ones shared."""
        self._exponentials = np.empty(0, dtype=np.float32)
        self.stats = EngineStats()

    def stream(self, requests: Sequence[Request]) -> _Stream:
        """Answer every request, a few at a time, each with its place in the list."""
        choices: list[TokenItem] = []
        texts: list[TokenItem] = []
        for number, request in enumerate(requests):
            if isinstance(request, ChoicesRequest):
                read, items = self._read_choices(number, request), choices
            elif isinstance(request, CompleteRequest):
                read, items = self._read_text(number, request), texts
            else:
                read, items = self._read_turn(number, request), texts
            if isinstance(read, TokenItem):
                items.append(read)
            else:
                self.stats.answered += 1
                yield [(number, read)]
        if choices:
            yield from self._evaluate(choices, self._score, CHOICES_TOKENS)
        if texts:
            yield from self._evaluate(texts, self._write, TURNS_TOKENS)

    def is_independent(self) -> bool:
        """Whether made-up requests get the same bits alone and together, on this very build."""
        words = iter(range(3, 1000))
        pairs = [
            TokenPair([next(words) % 200 + 3 for _ in range(length)], [5, 7 + length])
            for length in (4, 20, 42)
        ]
        alone = []
        for pair in pairs:
            self._clear()
            alone += self._log_likelihoods([pair], 0)
        self._clear()
        together = self._log_likelihoods(pairs, 0)
        self.stats = EngineStats()
        return alone == together

    def _evaluate(self, items: Sequence[TokenItem], answer: _Answer, tokens_each: int) -> _Stream:
        start = time.perf_counter()
        prefix = shared_prefix(items) if self._model.packs else 0
        tokens = items[0].pairs[0].prompt[:prefix] if prefix else []
        self._hold(tokens)
        groups: Iterator[list[TokenItem]] = iter([item] for item in items)
        if self._model.packs:
            room = self._model.context_tokens - prefix
            most = Bounds(tokens_each, self._model.piece_rows, room, _SEQUENCES)
            groups = batches([item.after(prefix) for item in items], most)
        for group in groups:
            self._held = []  # nothing is known of the cache if this fails
            answers = answer(group, prefix)
            self._held = tokens
            self.stats.milliseconds += (time.perf_counter() - start) * 1000
            self.stats.answered += len(answers)
            yield answers
            start = time.perf_counter()

    def _read_choices(self, number: int, request: ChoicesRequest) -> TokenItem | Unanswered:
        if not 1 <= len(request.choices) <= MAX_CHOICES:
            return Unanswered(f"{len(request.choices)} choices; 1 to {MAX_CHOICES} can be scored")
        if len(request.prompts) != len(request.choices):
            return Unanswered(f"{len(request.leads)} leads for {len(request.choices)} choices")
        model = self._model
        pairs = [
            # Text of a data set is text: "<|im_end|>" inside it is no control token.
            split_pair(
                prompt,
                choice,
                tokenize=lambda text: model.tokens(text, parse_special=False),
                start=model.start if prompt.strip() or model.start else model.empty_prompt,
            )
            for prompt, choice in zip(request.prompts, request.choices, strict=True)
        ]
        for place, pair in enumerate(pairs, start=1):
            if not request.choices[place - 1] or not pair.choice:
                return Unanswered(f"choice {place} is empty")
            if not pair.prompt:
                return Unanswered("the prompt is empty and the model has no start token")
        tokens = max(len(plan(group).nodes) for group in self._together(pairs))
        if tokens > model.context_tokens:
            return self._too_long(tokens)
        rows = sum(len(pair.choice) for pair in pairs)
        return TokenItem(number, pairs, tokens, rows, greedy=request.greedy)

    def _read_text(self, number: int, request: CompleteRequest) -> TokenItem | Unanswered:
        if not all(request.stop):
            return Unanswered("a stop string is empty")
        if request.chat:
            turn = GenerateRequest(request.prompt, request.system, request.max_tokens)
            read = self._read_turn(number, turn)
        else:
            # Text of a data set is text, as with choices.
            prompt = self._model.tokens(request.prompt, parse_special=False)
            prompt = self._model.start + prompt or self._model.empty_prompt
            read = self._text_item(number, prompt, request.max_tokens)
        return read._replace(stops=request.stop) if isinstance(read, TokenItem) else read

    def _read_turn(self, number: int, request: GenerateRequest) -> TokenItem | Unanswered:
        model = self._model
        try:
            text = model.chat.render(system=request.system, user=request.user)
        except TemplateRefusedError as refusal:
            return Unanswered(str(refusal))
        prompt = model.tokens(text, parse_special=True)
        if prompt[: len(model.start)] != model.start:  # templates write the start token or do not
            prompt = model.start + prompt
        return self._text_item(number, prompt, request.max_tokens)

    def _text_item(self, number: int, prompt: list[int], max_tokens: int) -> TokenItem | Unanswered:
        if max_tokens < 1:
            return Unanswered(f"max_tokens is {max_tokens}")
        if not prompt:
            return Unanswered("the prompt is empty")
        if len(prompt) + max_tokens > self._model.context_tokens:
            return self._too_long(len(prompt) + max_tokens)
        return TokenItem(number, [TokenPair(prompt, [-1])], len(prompt), 1, reserve=max_tokens)

    def _too_long(self, tokens: int) -> Unanswered:
        return Unanswered(f"{tokens} tokens; the context has {self._model.context_tokens}")

    def _score(self, group: Sequence[TokenItem], prefix: int) -> list[Numbered]:
        pairs = [pair for item in group for pair in item.pairs]
        scores: list[LogLikelihood] = []
        for each in self._together(pairs):
            if not prefix:
                self._clear()
            scores += self._log_likelihoods(each, prefix, greedy=any(i.greedy for i in group))
        answers: list[Numbered] = []
        for item in group:
            own, scores = scores[: len(item.pairs)], scores[len(item.pairs) :]
            if not item.greedy:
                own = [LogLikelihood(one.nats, one.tokens) for one in own]
            answer: Answer = ChoicesAnswer(tuple(own), prefix + len(item.pairs[0].prompt))
            if not all(np.isfinite(one.nats) for one in own):
                answer = Unanswered(_NON_FINITE)
            answers.append((item.number, answer))
        self._forget(answers)
        return answers

    def _together(self, pairs: list[TokenPair]) -> list[list[TokenPair]]:
        """Cut pairs into what the cache holds beside each other."""
        most = _SEQUENCES if self._model.shares_prompt else 1
        return [pairs[at : at + most] for at in range(0, len(pairs), most)]

    def _log_likelihoods(
        self, pairs: Sequence[TokenPair], prefix: int, *, greedy: bool = False
    ) -> list[LogLikelihood]:
        layout = plan(pairs, first=prefix)
        targets: dict[int, list[tuple[int, int]]] = {}
        nats = [[0.0] * len(predicted) for predicted in layout.predicted]
        others: set[int] = set()  # choices of which a token is not the likeliest
        for choice, predicted in enumerate(layout.predicted):
            for place, (row, _) in enumerate(predicted):
                targets.setdefault(row, []).append((choice, place))
        self._branch(range(len(pairs)), prefix)
        for row, logits in enumerate(self._decoded(layout.nodes)):
            total = self._log_sum_exp(logits)
            likeliest = int(np.argmax(logits)) if greedy else -1
            for choice, place in targets[row]:
                token = layout.predicted[choice][place][1]
                nats[choice][place] = float(logits[token]) - total
                if token != likeliest:
                    others.add(choice)
        self._join(range(len(pairs)), prefix)
        return [
            LogLikelihood(sum(terms), len(terms), choice not in others if greedy else None)
            for choice, terms in enumerate(nats)
        ]

    def _write(self, group: Sequence[TokenItem], prefix: int) -> list[Numbered]:
        if not prefix:
            self._clear()
        sequences = range(len(group))
        layout = plan([item.pairs[0] for item in group], first=prefix)
        self._branch(sequences, prefix)
        ends = [predicted[0][0] for predicted in layout.predicted]
        writing = {sequence: Writer(item, []) for sequence, item in enumerate(group)}
        rows = self._decode_all(layout.nodes)
        logits = {sequence: rows[ends[sequence]] for sequence in writing}
        answers: list[Numbered] = []
        while writing:
            nodes: list[Node] = []
            for sequence, writer in list(writing.items()):
                token = self._next(writer, logits[sequence], prefix, answers)
                if token is None:
                    del writing[sequence]
                    continue
                at = prefix + len(writer.item.pairs[0].prompt) + len(writer.pieces) - 1
                nodes.append(Node(token, at, (sequence,), wanted=True))
            if nodes:
                logits = dict(zip(writing, self._decode_all(nodes), strict=True))
        self._join(sequences, prefix)
        self._forget(answers)
        return answers

    def _next(
        self, writer: Writer, logits: NDArray[np.float32], prefix: int, answers: list[Numbered]
    ) -> int | None:
        """Choose the next token; None, and an answer, when the text has ended."""
        number, prompt = writer.item.number, prefix + len(writer.item.pairs[0].prompt)
        best = int(np.argmax(logits))
        if not np.isfinite(logits[best]):
            answers.append((number, Unanswered(_NON_FINITE)))
            return None
        stops = self._model.ends(best)
        if not stops:
            writer.pieces.append(self._model.piece(best))
            stops = writer.has_stopped()
        if stops or len(writer.pieces) == writer.item.reserve:
            finish = Generation(
                writer.text(), prompt, len(writer.pieces), "stop" if stops else "length"
            )
            answers.append((number, finish))
            return None
        return best

    def _hold(self, tokens: list[int]) -> None:
        """Let the cache hold these tokens and no others; what it has of them is not done again."""
        held = common_prefix(self._held, tokens)
        if held:
            self._model.remove(_PREFIX, keep=held)
        else:
            self._clear()
        self._held = []
        missing = [Node(tokens[at], at, (_PREFIX,), False) for at in range(held, len(tokens))]
        if missing:
            self._decode_all(missing)
            self._join((), len(tokens))

    def _clear(self) -> None:
        self._model.clear()
        self._filled = 0
        self._held = []

    def _branch(self, sequences: Sequence[int], prefix: int) -> None:
        for sequence in sequences if prefix else ():
            self._model.copy(_PREFIX, sequence)

    def _join(self, sequences: Sequence[int], prefix: int) -> None:
        for sequence in (*sequences, _FILLER) if prefix else ():
            self._model.remove(sequence)
        self._filled = 0 if prefix else self._filled

    def _forget(self, answers: Sequence[Numbered]) -> None:
        # What is not finite in the cache must not reach the next requests.
        if any(isinstance(answer, Unanswered) for _, answer in answers) and not self._model.packs:
            self._model.clear(data=True)

    def _decode_all(self, nodes: Sequence[Node]) -> list[NDArray[np.float32]]:
        return [row.copy() for row in self._decoded(nodes)]

    def _decoded(self, nodes: Sequence[Node]) -> Iterator[NDArray[np.float32]]:
        """Give the logits of each prediction, valid until the next is asked for."""
        for piece in pieces(nodes, self._model.piece_rows):
            yield from self._decode(piece)

    def _decode(self, nodes: list[Node]) -> NDArray[np.float32]:
        filling: list[Node] = []
        if self._model.shares_prompt:  # else all of a decode is one recurrent sequence
            filling = fillers(nodes, self._filled, _FILLER)
            self._filled += len(filling)
        wanted = sum(node.wanted for node in nodes)
        self.stats.decodes += 1
        self.stats.tokens += len(nodes)
        self.stats.rows += wanted
        return self._model.decode([*nodes, *filling])[:wanted]

    def _log_sum_exp(self, logits: NDArray[np.float32]) -> float:
        # Row by row with one buffer: twice as fast as whole-matrix temporaries.
        if len(self._exponentials) != len(logits):
            self._exponentials = np.empty(len(logits), dtype=np.float32)
        peak = logits.max()
        if not np.isfinite(peak):
            return float("nan")
        np.subtract(logits, peak, out=self._exponentials)
        np.exp(self._exponentials, out=self._exponentials)
        return float(peak) + float(np.log(self._exponentials.sum(dtype=np.float64)))
