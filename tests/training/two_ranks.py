"""One of two processes that train together for a step.

Its arguments are a cache, a recipe, the files of face depth and a folder, into which it writes weights and gradients.
"""

import sys
from pathlib import Path

import torch

from livehead.training.dagan.frame_sampler import FrameSampler
from livehead.training.dagan.losses import multiscale_gradient_loss
from livehead.training.dagan.recipe import DaganRecipe
from livehead.training.dagan.state import new_state, read_face_depth
from livehead.training.dagan.trainer import DaganTrainer
from livehead.training.distributed import open_process_group
from livehead.training.recipe import read_recipe_as

if __name__ == "__main__":
    cache, config, depth, folder = (Path(argument) for argument in sys.argv[1:])
    torch.set_num_threads(1)
    recipe = read_recipe_as(DaganRecipe, config, "")
    with open_process_group() as process:
        torch.manual_seed(recipe.seed)
        state = new_state(recipe, process.device)
        sampler = FrameSampler(cache, "train", recipe.side, process.rank, process.world_size)
        DaganTrainer(recipe, sampler, folder, process, state, read_face_depth([depth]), multiscale_gradient_loss).step()
        networks = {"actors": state.model, "critic": state.critic}
        gradients = {f"{name}.{k}": p.grad for name, net in networks.items() for k, p in net.named_parameters()}
        weights = {f"{name}.{k}": value for name, net in networks.items() for k, value in net.state_dict().items()}
        torch.save({"gradients": gradients, "weights": weights}, folder / f"rank{process.rank}.pt")
