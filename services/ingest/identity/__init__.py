"""The identity map: a projection in Valkey of what events showed, and a short memory before it."""
