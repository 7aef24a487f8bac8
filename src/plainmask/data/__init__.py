"""Data in: pictures, label files and data sets read as records, and what training does to them."""
