"""How well remaining life is foretold: turbofans, a bearing test rig, and simulated wear."""
