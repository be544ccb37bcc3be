"""Programs that show what the packages of this repository do together."""
