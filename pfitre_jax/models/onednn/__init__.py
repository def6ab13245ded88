"""The network on a CPU by PyTorch's oneDNN kernels: custom call, PyTorch's side, JAX's side."""
