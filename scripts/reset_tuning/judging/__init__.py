"""LLM-as-a-Judge: requests, records of replies, the client and the reading of ratings."""
