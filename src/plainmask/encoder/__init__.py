"""The frozen encoder: DINOv2, DINOv3 and their kind, and where their weights come from."""
