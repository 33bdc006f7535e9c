"""Questions whose answers are known beforehand, and questions that must get none, over rows with planted canaries."""
