"""One module for each family of table formats; `extmap_tf.catalogs.tables` recognises them."""
