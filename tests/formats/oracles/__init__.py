"""The codecs beside independent implementations; where two of them disagree, which is right."""
