"""What the surface encloses: boundary, winding numbers, volume and mass."""
