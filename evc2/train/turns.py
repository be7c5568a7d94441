"""Which parameters get gradients in which turn of a batch."""

from evc2.train.abs_model import AbsTurnModel


class Owners:
    """The parameters of a model by the turn that owns them, looked up once: a walk through the modules for every turn
    would take some per cent of a small model's step.
    """

    def __init__(self, model: AbsTurnModel):
        self.all = list(model.parameters())
        self.of = {turn: list(model.turn_parameters(turn)) for turn in model.turns}
        owned = {turn: {id(p) for p in mine} for turn, mine in self.of.items()}
        self.others = {turn: [p for p in self.all if id(p) not in mine] for turn, mine in owned.items()}

    def only(self, turn: str) -> None:
        """Let gradients flow through all networks but accumulate only in this turn's (which saves the others' work)."""
        for parameter in self.others[turn]:
            parameter.requires_grad_(False)
        for parameter in self.of[turn]:
            parameter.requires_grad_(True)

    def everyone(self) -> None:
        """Let gradients accumulate in all networks."""
        for parameter in self.all:
            parameter.requires_grad_(True)
