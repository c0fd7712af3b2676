"""The linear-chain conditional random field: equations, kernels, layer."""
