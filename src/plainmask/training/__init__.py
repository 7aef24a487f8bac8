"""Training a decoder on a frozen encoder: recipe, matching, losses, schedules, one flat loop."""
