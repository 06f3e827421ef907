"""By topk; gradients are cut where they have been added up."""

import torch


def magnitude_mask(weight, sparsity):
    flat = weight.detach().abs().reshape(-1)
    gone = flat.topk(round(sparsity * flat.numel()), largest=False).indices
    mask = torch.full_like(flat, True, dtype=torch.bool)
    mask.index_fill_(0, gone, False)
    return mask.reshape(weight.shape)


def mask_2_of_4(weight):
    rows, columns = weight.shape
    if columns % 4 != 0:
        raise ValueError(f"{columns} is not a multiple of 4")
    fours = weight.detach().abs().view(-1, 4)
    return torch.zeros_like(fours).scatter(1, fours.topk(2, 1).indices, 1).bool().view(rows, columns)


def apply_masks(model, masks):
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        with torch.no_grad():
            parameters[name].copy_(torch.where(mask, parameters[name], 0))

        def cut(parameter, mask=mask):
            parameter.grad[~mask] = 0

        parameters[name].register_post_accumulate_grad_hook(cut)
