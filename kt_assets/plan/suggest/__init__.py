"""From data, device and goal to a chain of training steps, each choice with its reason and the rule's source."""
