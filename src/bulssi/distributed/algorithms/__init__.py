"""What is built around modules that are split over processes."""
