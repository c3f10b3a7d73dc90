"""Lightning callbacks: the curriculum, pictures for the dashboard, progress, throughput and the run's summary."""
