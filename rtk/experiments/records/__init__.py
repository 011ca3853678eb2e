"""What a sweep found, on a disk: tables, saved and read back, also from strangers."""
