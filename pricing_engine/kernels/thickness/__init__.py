"""Wall thickness by rays and by inscribed spheres."""
