"""The frozen encoder: DINOv2 and DINOv3, and where their weights come from."""
