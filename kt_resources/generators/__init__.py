"""Text generation: llama.cpp, transformers, or an OpenAI-compatible server."""
