"""Low-bit optimizers: an Adam whose state passes through a codec at each step, and codecs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tests.heldout.second.ops import from_blocks, into_blocks, safe

State = dict[str, Any]


class CodedAdam(Optimizer):
    """Adam; subclasses say how its moments are kept and how a step is written."""

    limit = 5.0

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr, "betas": (0.9, 0.999), "eps": 1e-8})

    def state_of(self, p: Tensor) -> State:
        """The state of a parameter."""
        state: State = self.state[p]
        return state

    def keep_first(self, m: Tensor) -> Any:
        """The first moment as it is stored."""
        return m

    def keep_second(self, v: Tensor) -> Any:
        """The second moment as it is stored."""
        return v

    def read_first(self, kept: Any, p: Tensor) -> Tensor:
        """The first moment in float32."""
        m: Tensor = kept
        return m

    def read_second(self, kept: Any, p: Tensor) -> Tensor:
        """The second moment in float32."""
        v: Tensor = kept
        return v

    def corrections(self, step: int, betas: tuple[float, float]) -> tuple[float, float]:
        """What the moments are divided by."""
        return 1 - betas[0] ** step, 1 - betas[1] ** step

    def write(self, p: Tensor, change: Tensor, state: State) -> None:
        """Add the step to the parameter."""
        p.add_(change)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad.float()
                state = self.state_of(p)
                state["step"] = state.get("step", 0) + 1
                m = torch.zeros_like(g) if state["step"] == 1 else self.read_first(state["m"], p)
                v = torch.zeros_like(g) if state["step"] == 1 else self.read_second(state["v"], p)
                m = b1 * m + (1 - b1) * g
                v = b2 * v + (1 - b2) * g * g
                c1, c2 = self.corrections(state["step"], group["betas"])
                update = (m / c1) / ((v / c2).sqrt() + group["eps"])
                self.write(p, -group["lr"] * update.clamp(-self.limit, self.limit), state)
                state["m"], state["v"] = self.keep_first(m), self.keep_second(v)
        return loss


def _random_codes(share: Tensor, top: int, power: float) -> Tensor:
    """Codes whose values (code / top) ** power are the shares on average: moments move by less than one."""
    low = (share ** (1 / power) * top).floor().clamp(0, top - 1)
    below, above = (low / top) ** power, ((low + 1) / top) ** power
    return low + (torch.rand_like(share) < (share - below) / (above - below)).float()


def signed_codes(x: Tensor, top: int, power: float, size: int = 64) -> tuple[Tensor, Tensor]:
    """Codes of |x / largest| ** (1 / power) with x's sign, and each block's largest."""
    blocks = into_blocks(x, size)
    largest = safe(blocks.abs().amax(1, keepdim=True))
    codes = _random_codes((blocks / largest).abs(), top, power) * blocks.sign()
    return codes.to(torch.int8), largest


def signed_values(codes: Tensor, largest: Tensor, top: int, power: float, like: Tensor) -> Tensor:
    """What `signed_codes` kept."""
    values = (codes.float().abs() / top) ** power * codes.sign() * largest
    return from_blocks(values, like).float()


def unsigned_codes(x: Tensor, top: int, power: float, size: int = 64) -> tuple[Tensor, Tensor]:
    """As `signed_codes` for what is never negative; a value above 0 keeps a code above 0 where power > 1."""
    blocks = into_blocks(x, size)
    largest = safe(blocks.amax(1, keepdim=True))
    if power > 1:
        codes = _random_codes(blocks / largest, top, power)
        codes = torch.where(blocks > 0, codes.clamp_min(1), codes)
    else:
        codes = (blocks / largest * top).round()
    return codes.clamp(0, top).to(torch.uint8), largest


def unsigned_values(codes: Tensor, largest: Tensor, top: int, power: float, like: Tensor) -> Tensor:
    """What `unsigned_codes` kept."""
    return from_blocks((codes.float() / top) ** power * largest, like).float()


def stochastic_bf16(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Round float32 to bfloat16 at random: add 16 random bits below the mantissa, then cut."""
    noise = torch.randint(0, 1 << 16, x.shape, generator=generator, dtype=torch.int32, device=x.device)
    return ((x.float().contiguous().view(torch.int32) + noise) & -65536).view(torch.float32)
