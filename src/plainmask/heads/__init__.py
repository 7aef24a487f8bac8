"""A head and its folder, the hub, the model card; beside this file: the shipped heads."""
