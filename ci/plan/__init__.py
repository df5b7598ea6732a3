"""Stage 3: the plan as a value, output kinds, imager profiles, and what differs between Talos versions."""
