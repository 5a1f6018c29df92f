"""Records: sharded TFRecords of CMDs and profiles, the manifest beside them, and the tf.data over them."""
