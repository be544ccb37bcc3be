"""What the tap costs, measured against the least that it could cost; see README.md beside this file."""
