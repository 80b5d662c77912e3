"""The miniature world: invented entities, texts, instructions, a judge, and small models.

Everything is drawn from seeded generators. Nothing about the outcome of an experiment is written
here: the world only provides text that a very small model can learn, and people who make mistakes.
"""
