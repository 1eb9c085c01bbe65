"""How a model is questioned, scored and measured: pure functions, no AO, no clock."""
