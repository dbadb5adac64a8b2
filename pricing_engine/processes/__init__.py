"""Manufacturing processes: capacities, times and costs."""
