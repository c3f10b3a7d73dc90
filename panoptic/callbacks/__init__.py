"""Lightning callbacks: the curriculum, pictures for the dashboard, progress and the run's summary."""
