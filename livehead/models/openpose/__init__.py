"""OpenPose: body, hand and face key points by part affinity fields, from networks to people."""
