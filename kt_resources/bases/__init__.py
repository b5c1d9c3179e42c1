"""Base models: whatever a recipe names becomes one plain Hugging Face checkpoint folder."""
