"""When do they meet: sync points, barriers, phasers and progress, as pure machines."""
