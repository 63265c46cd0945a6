"""A policy in Python: so many members that each has at most its share of a signal.

Settings: {"signal": "load", "perMember": 100}. Whatever is not certain is refused, and the target holds.
"""

import json
import math

from componentize_py_types import Err
import wit_world
from wit_world.imports.types import Manifest, Proposal, Reason, Refusal, SignalState

SETTINGS = {
    "type": "object",
    "required": ["signal", "perMember"],
    "additionalProperties": False,
    "properties": {
        "signal": {"type": "string", "description": "The signal whose newest sample counts."},
        "perMember": {"type": "number", "exclusiveMinimum": 0, "description": "What one member bears of it."},
    },
}


def refuse(code, message):
    raise Err(Refusal(Reason(code, message)))


class WitWorld(wit_world.WitWorld):
    def describe(self) -> Manifest:
        return Manifest("per-member", "0.1.0", "A share of a signal for each member.", [], json.dumps(SETTINGS))

    def evaluate(self, input) -> Proposal:
        settings = json.loads(input.target.settings) or {}
        name, share = settings.get("signal"), settings.get("perMember")
        if not isinstance(name, str) or not isinstance(share, (int, float)) or share <= 0:
            refuse("Settings", "settings need `signal` and a `perMember` above 0")
        signal = next((signal for known, signal in input.signals if known == name), None)
        if signal is None:
            refuse("UnknownSignal", f"the target has no signal {name}")
        if signal.state != SignalState.OK or not signal.samples:
            refuse("StaleMetrics", f"{name} is not known")
        load = signal.samples[-1].value
        bounds = dict(input.target.bounds)["members"]
        members = max(bounds.min, min(bounds.max, math.ceil(load / share)))
        reason = Reason("PerMember", f"{name} is {load:g}, and a member bears {share:g}")
        return Proposal([("members", members)], reason, [name], [], None, None)
