import dataclasses

from extmap_tf.fit.prior import options_left_out
from extmap_tf.settings.config import Config
from extmap_tf.settings.profiles import ProfilePrior


def test_a_fit_names_the_options_of_the_training_prior_that_it_does_not_have():
    assert options_left_out(ProfilePrior()) == ()
    assert options_left_out(dataclasses.replace(ProfilePrior(), wall_share=0.2)) == ("wall_share",)
    wide = options_left_out(Config.named("carina").profiles)
    assert "disc" in wide
