"""What the pipeline costs beside a plain script of TRL, mergekit and llama.cpp on the same data."""
