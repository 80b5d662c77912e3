"""Fine-tuning with the Hugging Face Trainer under DeepSpeed ZeRO-3, started through torchrun.

`launch` runs in the rule's process and imports no torch; `worker` runs once per rank.
"""
