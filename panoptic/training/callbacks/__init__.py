"""Lightning callbacks: curriculum, fusion, TensorBoard pictures, progress, throughput and run summary."""
