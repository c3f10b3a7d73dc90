"""Lightning callbacks: curriculum, TensorBoard pictures, progress, throughput and run summary."""
