"""The local stack: starts an emulator, deploys the template to it, does the main job. Never deployed."""
