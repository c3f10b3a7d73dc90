"""Lightning callbacks: curriculum, fusion, pictures, progress, limit of things, throughput and run summary."""
