"""Each raises the tables by one version; a version that was released is never changed."""
