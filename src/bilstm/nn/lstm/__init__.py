"""The BiLSTM layer: its equations, its kernels, and torch.nn.LSTM to take over from."""
