"""What the tap costs, measured against what it has to cost at least; see README.md beside this file."""
