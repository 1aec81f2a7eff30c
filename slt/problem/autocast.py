"""What torch.autocast does to the evaluations of a problem."""

import torch


def autocast_type(device: torch.device) -> torch.dtype | None:
    """Return the type that torch.autocast computes in on a device; None where it is off."""
    if not torch.amp.is_autocast_available(device.type) or not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)
