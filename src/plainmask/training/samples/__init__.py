"""From a record to a training sample: augmentation, clips, targets, batches."""
