"""Pictures of samples: sheets of small images, and densities over a line."""
