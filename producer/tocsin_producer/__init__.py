"""The edge side: watch Kubernetes Events, filter them and publish what matters."""
